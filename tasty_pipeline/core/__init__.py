"""What runs and is tested without Dagster or Django: reading, proving, storing."""
