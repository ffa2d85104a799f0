"""Configuration to plain core objects: the broker of a run and the warehouse. No logic of the sync belongs here."""

from tasty_pipeline.resources.broker import BrokerResource
from tasty_pipeline.resources.warehouse import WarehouseResource, warehouse_from

__all__ = ["BrokerResource", "WarehouseResource", "warehouse_from"]
