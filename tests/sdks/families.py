"""Lists the SDKs of all families."""

from tests.sdks import amplitude, mixpanel, plausible, posthog, segment, umami
from tests.sdks.declared import Sdk

ALL: tuple[Sdk, ...] = (
    *amplitude.SDKS,
    *mixpanel.SDKS,
    *plausible.SDKS,
    *posthog.SDKS,
    *segment.SDKS,
    *umami.SDKS,
)
