"""A Django project as small as one can be that has users, and shows them their accounts with `tasty_django`."""
