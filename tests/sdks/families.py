"""Lists the SDKs of all families."""

from tests.sdks import plausible, umami
from tests.sdks.declared import Sdk

ALL: tuple[Sdk, ...] = (*plausible.SDKS, *umami.SDKS)
