"""The slots that the settings name."""

from outfitter_agent.hands.slots.choice import make_slots
from outfitter_agent.hands.slots.port import Slots, SlotSettings
from outfitter_agent.main.settings import Settings


def slots_of(settings: Settings) -> Slots:
    """Made anew; raises SlotsError."""
    return make_slots(
        settings.slot,
        SlotSettings(
            folder=settings.slots,
            state=settings.state,
            image_bytes_max=settings.image_bytes_max,
            options=settings.slot_options,
        ),
    )
