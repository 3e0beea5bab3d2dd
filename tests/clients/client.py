"""Ten calls to a real relay by the client that openapi-python-client makes of its document.

Usage: client.py URL KEY
"""

import sys
from typing import TypeVar

from relay.api.dead_letters import list_dead_letters
from relay.api.events import publish_events, read_events
from relay.api.health import get_readiness
from relay.api.subscriptions import (
    change_subscription,
    create_subscription,
    delete_subscription,
    get_subscription,
)
from relay.api.topics import get_topic, put_topic
from relay.client import AuthenticatedClient
from relay.models import (
    CloudEvent,
    DeadLetterList,
    DeadReason,
    EndpointState,
    EventPage,
    HealthView,
    LoggedEvent,
    NewSubscription,
    NewWebhook,
    Nothing,
    Problem,
    ProblemCode,
    Published,
    ReadyView,
    SubscriptionChange,
    SubscriptionStatus,
    SubscriptionView,
    TopicBody,
    TopicView,
)

T = TypeVar("T")
calls = 0


def good(answer: object, kind: type[T]) -> T:
    """What was answered, when it is of the kind that was expected."""
    global calls
    calls += 1
    assert isinstance(answer, kind), f"call {calls}: {answer}"
    return answer


def main(url: str, key: str) -> None:
    with AuthenticatedClient(url, token=key, raise_on_unexpected_status=True) as relay:
        assert good(get_readiness.sync(client=relay), ReadyView).status == "ok"
        topic = put_topic.sync("typed", client=relay, body=TopicBody())
        assert good(topic, TopicView).head == 0
        event = CloudEvent(specversion="1.0", id="1", source="/typed", type_="made", data={"n": 1})
        event["partitionkey"] = "a"
        published = publish_events.sync("typed", client=relay, body=event)
        assert good(published, Published).events[0].version == 1
        page = good(read_events.sync("typed", client=relay, limit=5), EventPage)
        assert (page.events[0].version, page.events[0].id) == (1, "1")
        webhook = NewWebhook(url="http://127.0.0.1:9/")
        new = NewSubscription(name="typed", topic="typed", webhook=webhook, from_="latest")
        made = good(create_subscription.sync(client=relay, body=new), SubscriptionView)
        assert made.status is SubscriptionStatus.ACTIVE
        change = SubscriptionChange(rate="10/s")
        changed = change_subscription.sync("typed", client=relay, body=change)
        assert good(changed, SubscriptionView).rate == "10/s"

        held = good(get_subscription.sync("held", client=relay), SubscriptionView)
        assert isinstance(held.health, HealthView), held
        assert held.health.state is EndpointState.HOLDING and held.health.next_trial
        dead = list_dead_letters.sync(
            "refused", client=relay, reason=DeadReason.REFUSED, limit=1
        )
        letter = good(dead, DeadLetterList).dead_letters[0]
        assert isinstance(letter.event, LoggedEvent) and letter.event.source == "/numbers"

        none = good(get_topic.sync("none", client=relay), Problem)
        assert none.code is ProblemCode.NOT_FOUND
        gone = delete_subscription.sync_detailed("typed", client=relay, body=Nothing())
        assert good(gone.status_code.value, int) == 204
    print(calls)


main(sys.argv[1], sys.argv[2])
