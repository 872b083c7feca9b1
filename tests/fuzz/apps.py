"""What the two sides of a code say to each other."""

from shoal.apps import parcel
from shoal.apps.parcel import DIGEST, Claim, Hello, Item, Offer, Plan, Refusal, Wait

PARCELS = tuple(
    map(
        parcel.encode,
        (
            Hello(b"A" * 33), Wait(1.5), Refusal("no", "code"), Plan({0: 5, 3: 0}),
            Offer([Item((b"a", b"b"), 70_000), Item((b"c",), 0)]), Claim(1, 9, bytes(DIGEST)),
        ),
    )
)  # fmt: skip
