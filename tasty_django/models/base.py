"""What every model has in common: it reads a view of the pipeline and refuses to write."""

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from django.db import models

from tasty_django.errors import refuse
from tasty_django.models.fields import instant, json_value, text


class ReadOnlyModel(models.Model):
    """A row of a view. Saving and deleting raise `ReadOnlyError`; the database's role refuses them too."""

    class Meta:
        """Settings that every model takes over."""

        abstract = True
        managed = False
        default_permissions: ClassVar[tuple[str, ...]] = ("view",)
        base_manager_name = "objects"

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - Django's signature
        """Refuse."""
        refuse(type(self))

    async def asave(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002
        """Refuse."""
        refuse(type(self))

    def save_base(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002
        """Refuse what fixtures do."""
        refuse(type(self))

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002
        """Refuse."""
        refuse(type(self))

    async def adelete(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002
        """Refuse."""
        refuse(type(self))


class OfAccount:
    """What rows have whose model has the foreign key `account`."""

    if TYPE_CHECKING:
        account_id: str

    @property
    def account_number(self) -> str:
        """The account's number, without a query."""
        return self.account_id


class Provenance(ReadOnlyModel):
    """A row that says when and by which run it was last changed."""

    synced_at = instant("Start of the read that last changed this row. A sync that finds it unchanged writes nothing.")
    run_id = text("The run that last changed this row.")

    class Meta(ReadOnlyModel.Meta):
        """Takes the settings over."""

        abstract = True


class Mirrored(Provenance):
    """A row that mirrors one of the broker's."""

    extra = json_value("Fields of the payload that have no column here, as the API sent them.", null=True)

    class Meta(Provenance.Meta):
        """Takes the settings over."""

        abstract = True
