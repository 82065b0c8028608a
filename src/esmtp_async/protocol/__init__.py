"""The sans-IO half: SMTP as a state machine, for any transport.

`Session` is the machine: a queue of commands on their way and one table of
transitions (`ROWS`, `TRANSITIONS`). `Opening` and `Transaction` are
conversations held with it. Nothing here reads, writes, waits or knows a clock.
"""

from esmtp_async.protocol._addresses import ForwardPath as ForwardPath
from esmtp_async.protocol._addresses import Mailbox as Mailbox
from esmtp_async.protocol._addresses import ReversePath as ReversePath
from esmtp_async.protocol._asks import UPGRADE as UPGRADE
from esmtp_async.protocol._asks import WAIT as WAIT
from esmtp_async.protocol._asks import Ask as Ask
from esmtp_async.protocol._asks import Compute as Compute
from esmtp_async.protocol._asks import Fetch as Fetch
from esmtp_async.protocol._commands import Auth as Auth
from esmtp_async.protocol._commands import Bdat as Bdat
from esmtp_async.protocol._commands import Command as Command
from esmtp_async.protocol._commands import Connect as Connect
from esmtp_async.protocol._commands import Content as Content
from esmtp_async.protocol._commands import Data as Data
from esmtp_async.protocol._commands import Ehlo as Ehlo
from esmtp_async.protocol._commands import Expn as Expn
from esmtp_async.protocol._commands import Helo as Helo
from esmtp_async.protocol._commands import Help as Help
from esmtp_async.protocol._commands import Lhlo as Lhlo
from esmtp_async.protocol._commands import Mail as Mail
from esmtp_async.protocol._commands import Noop as Noop
from esmtp_async.protocol._commands import Quit as Quit
from esmtp_async.protocol._commands import Rcpt as Rcpt
from esmtp_async.protocol._commands import Response as Response
from esmtp_async.protocol._commands import Rset as Rset
from esmtp_async.protocol._commands import StartTLS as StartTLS
from esmtp_async.protocol._commands import Verb as Verb
from esmtp_async.protocol._commands import Vrfy as Vrfy
from esmtp_async.protocol._content import MailData as MailData
from esmtp_async.protocol._envelope import Envelope as Envelope
from esmtp_async.protocol._envelope import Parameter as Parameter
from esmtp_async.protocol._envelope import Recipient as Recipient
from esmtp_async.protocol._exceptions import LocalProtocolError as LocalProtocolError
from esmtp_async.protocol._exceptions import RemoteProtocolError as RemoteProtocolError
from esmtp_async.protocol._exchange import Exchange as Exchange
from esmtp_async.protocol._exchange import Inquiry as Inquiry
from esmtp_async.protocol._exchange import Opening as Opening
from esmtp_async.protocol._exchange import StartTLSPolicy as StartTLSPolicy
from esmtp_async.protocol._extensions import Extensions as Extensions
from esmtp_async.protocol._outcomes import Outcome as Outcome
from esmtp_async.protocol._outcomes import RecipientResult as RecipientResult
from esmtp_async.protocol._outcomes import Stage as Stage
from esmtp_async.protocol._reader import ReplyReader as ReplyReader
from esmtp_async.protocol._replies import EnhancedStatus as EnhancedStatus
from esmtp_async.protocol._replies import Reply as Reply
from esmtp_async.protocol._replies import Severity as Severity
from esmtp_async.protocol._sasl import Channel as Channel
from esmtp_async.protocol._sasl import Login as Login
from esmtp_async.protocol._sasl import Mechanism as Mechanism
from esmtp_async.protocol._sasl import Plain as Plain
from esmtp_async.protocol._sasl import Responses as Responses
from esmtp_async.protocol._sasl import Secret as Secret
from esmtp_async.protocol._scram import Scram as Scram
from esmtp_async.protocol._scram import ScramSHA1 as ScramSHA1
from esmtp_async.protocol._scram import ScramSHA256 as ScramSHA256
from esmtp_async.protocol._scram import ScramSHA512 as ScramSHA512
from esmtp_async.protocol._session import CLOSED as CLOSED
from esmtp_async.protocol._session import LOST as LOST
from esmtp_async.protocol._session import NEED_DATA as NEED_DATA
from esmtp_async.protocol._session import Replied as Replied
from esmtp_async.protocol._session import Sent as Sent
from esmtp_async.protocol._session import Session as Session
from esmtp_async.protocol._session import Signal as Signal
from esmtp_async.protocol._states import NEVER as NEVER
from esmtp_async.protocol._states import PROJECTION as PROJECTION
from esmtp_async.protocol._states import ROWS as ROWS
from esmtp_async.protocol._states import SENDABLE as SENDABLE
from esmtp_async.protocol._states import TRANSITIONS as TRANSITIONS
from esmtp_async.protocol._states import Row as Row
from esmtp_async.protocol._states import State as State
from esmtp_async.protocol._transaction import Transaction as Transaction
