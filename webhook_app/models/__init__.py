"""The tables. Importing this package loads them all into `Base.metadata`."""

from webhook_app.models.account import Account
from webhook_app.models.api_token import ApiToken
from webhook_app.models.attempt import Attempt
from webhook_app.models.audit import AuditEntry
from webhook_app.models.backfill import Backfill
from webhook_app.models.boot import Boot
from webhook_app.models.declarative import Base
from webhook_app.models.discrepancy import Discrepancy
from webhook_app.models.drift import StoredDrift
from webhook_app.models.event import Event, Receipt
from webhook_app.models.gate import StoredGate
from webhook_app.models.heartbeat import Heartbeat
from webhook_app.models.hint import Hint
from webhook_app.models.incident import Figures, Incident
from webhook_app.models.listening import Listening
from webhook_app.models.log_in import AccountNetwork, LogInSession
from webhook_app.models.metrics import MetricTotal, StoredMeasurements
from webhook_app.models.notification import Notification
from webhook_app.models.recipient import Recipient
from webhook_app.models.reconciliation import Reconciliation
from webhook_app.models.rejection import Rejection
from webhook_app.models.replay import Replay, ReplayItem
from webhook_app.models.saved_view import SavedView
from webhook_app.models.scorecard import ChannelDay, ErrorDay, ScorecardProgress
from webhook_app.models.session_call import IdempotencyNote, SessionProblem
from webhook_app.models.transaction import HistoryEntry, Transaction, TransactionVersion
from webhook_app.models.watch import StoredWatch

__all__ = [
    "Account",
    "AccountNetwork",
    "ApiToken",
    "Attempt",
    "AuditEntry",
    "Backfill",
    "Base",
    "Boot",
    "ChannelDay",
    "Discrepancy",
    "ErrorDay",
    "Event",
    "Figures",
    "Heartbeat",
    "Hint",
    "HistoryEntry",
    "IdempotencyNote",
    "Incident",
    "Listening",
    "LogInSession",
    "MetricTotal",
    "Notification",
    "Receipt",
    "Recipient",
    "Reconciliation",
    "Rejection",
    "Replay",
    "ReplayItem",
    "SavedView",
    "ScorecardProgress",
    "SessionProblem",
    "StoredDrift",
    "StoredGate",
    "StoredMeasurements",
    "StoredWatch",
    "Transaction",
    "TransactionVersion",
]
