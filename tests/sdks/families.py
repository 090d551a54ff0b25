"""Lists the SDKs of all families."""

from tests.sdks import (
    amplitude,
    ga4,
    matomo,
    mixpanel,
    openpanel,
    plausible,
    posthog,
    rybbit,
    segment,
    snowplow,
    umami,
    vercel,
)
from tests.sdks.declared import Sdk

ALL: tuple[Sdk, ...] = (
    *amplitude.SDKS,
    *ga4.SDKS,
    *matomo.SDKS,
    *mixpanel.SDKS,
    *openpanel.SDKS,
    *plausible.SDKS,
    *posthog.SDKS,
    *rybbit.SDKS,
    *segment.SDKS,
    *snowplow.SDKS,
    *umami.SDKS,
    *vercel.SDKS,
)
