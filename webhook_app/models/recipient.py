"""Recipients of notifications: since when each is to be told of incidents."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.models.declarative import Base


class Recipient(Base):
    __tablename__ = "recipients"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    """The sender's name: `mail`, `slack` and so on."""
    since: Mapped[datetime]
    """When it was first found in the configuration; what was over by then it is not told of."""
