"""A whole fake TastyTrade brokerage behind the real HTTP API, with books that balance.

It imports nothing else of this project, so that a mistake shared with the code under test cannot agree with itself.
"""

from tasty_pipeline.simulator.brokerage import Brokerage
from tasty_pipeline.simulator.config import SimulatorConfig
from tasty_pipeline.simulator.faults import Fault
from tasty_pipeline.simulator.logins import Login
from tasty_pipeline.simulator.serving import Simulator, serve

__all__ = ["Brokerage", "Fault", "Login", "Simulator", "SimulatorConfig", "serve"]
