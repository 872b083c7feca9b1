"""Noise handshakes of identities A and B, byte by byte.

A (Ed25519 seed 01 x 32) initiates, B (02 x 32) responds; X25519 keys: A e 11, s 12, B e 21, s 22,
each 32 times; both offer /yamux/1.0.0.  The code which made XX's completes handshakes with
js-libp2p and go-libp2p.  Messages are without their two bytes of length.
"""

from base64 import b64decode

XX_MESSAGES = [
    bytes.fromhex("7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13"),
    bytes.fromhex(
        "7d34a4815fa6b982535e60af3bd9b49556816080f1641ff81d2b7c8ae8268a44d124c4666e8fc49c2b885b50"
        "ad8841ec2503c73402e6b40ad85d55f7f22bc47b0004923ade46af588d4ac4263a0db9405e82352fe66961e3"
        "c0d09b5ae81814836662f3f5ab07121b25593894b5c67735a6ce91e0ba3de7c0212e147130d719d50cce11f5"
        "5e7a848f5e43ef480498528ce47e189af957d25dfd9e05d0f86254155d34f0c9f6db9769c5c75e14c907dacc"
        "e4a49b37862a0c682fd784b041c233f7d84bba288913260c65b4f351bd03f39c7062d9b3f145aee3"
    ),
    bytes.fromhex(
        "53b01a0a76922e6a3764545833eb2f49bfba9405f080782e7962980fc0dd6b735a5dcb134540a8f05cd5a98a"
        "da0050b2608702de0cb9b44c365be26c758822e749574c877e102de3d61eee1646bc7877b3c839d29f1a5484"
        "bdbfddac10aa08df4dc36a30f703a367c5bed63b52d00148d75cb616ff6fb08ea2f65943a7c8dbf24b7cd3d7"
        "4ff4dca7684c5993531196f3a6961e4786c824feba110da892d3e460540dedc05fd6a34cf64d9b0d9699d1f0"
        "3f007606affbfea0"
    ),
]
XX_PAYLOADS = [  # of the second and third
    bytes.fromhex(
        "0a24080112208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b39412402e8bf2b0"
        "d618de67ad0d69c950be51651aa712d441a89e9e86b1440f362b63694fa7ea767988d10728a7019e2bcc9f90"
        "5eadc06203722ce10235c8a29ee9b209220e120c2f79616d75782f312e302e30"
    ),
    bytes.fromhex(
        "0a24080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c1240a4a6c9fc"
        "69a7b2d74c7bc246a3b1b5fb4bf2e3a395cb2d1b6c2678fa8f79e828baec324ec5924e8bf8d63cdc1ff15fb8"
        "4d6742527411cfea70dfd588e478780d220e120c2f79616d75782f312e302e30"
    ),
]
XX_HASH = bytes.fromhex("48ac42f3fa44c8de8d732d5f0ef5eeb9a686ed015417e493bc9ed82e3ad1917d")
XX_KEYS = [  # initiator to responder, and back
    bytes.fromhex("49ac842368142237d239f0fb4f02cd8296620f588536f6bf4b61d6a7f200eaf3"),
    bytes.fromhex("2c82666dc00cfc6b4fd1977010bf77298ee07f97ba88471daf78c168cc7519cc"),
]
XX_HELLOS = [  # records that say "hello": the initiator's first two, the responder's first
    bytes.fromhex("00153cc9a909aad410f021f1695efc6436b7b33849d467"),
    bytes.fromhex("0015f52ad0599c4abc7755ccd60f9cffa10462a2acff9c"),
    bytes.fromhex("0015af3dedf999a37702f0c8effa2dc920e5c1c8fa5078"),
]

# The hybrid's: ML-KEM seed d || z = 31 x 32, 32 x 32; hashes are SHA-256 of whole messages.
HYBRID_NAME_SHA256 = "6890959a52d7bcd776a20f01eb88dff63ac22d5420b10671890d11cdab4d23d6"
HYBRID_KEY_SHA256 = "b35a25eb9f13db5abf484dc48565ad21953a2de4a9488a8f6e10b2d11457a83d"
HYBRID_CIPHERTEXT = b64decode(
    "5h89uRsjnj52uO//WcAmQaIgpQmbnTxjs26A6jCA4lHv6kiieCl5cbUNwkn36LuRBSAodrO0+Fe+ERYHNJWnf0HO"
    "nV0cmGIlvio/1xJW3B0ix/h7k0i2u6oCZ4lKXfUhuc1onb82pDq0448McgzpwgwmmtXRLcWxQE5vmeK6JUJ4KLm/"
    "1cNU2+R9awPeH6/DoZF3zsjTbPY8EEgAr6o+19SXcgUEuL1TRi5sTLjLYAV9zC0LvLNA3jWrrqft3xG4dTCQdjjd"
    "Qdy4G1gtFUhrzpgQcKfsvVEnCxDQEkSFfhAsHp2scLqudGDBN+GavD58J9HIxYEXWwMRibGGPgmDAMHq7V++/BSg"
    "HDV5mncfQmPwbFwELCrurv9fjMLZyue8loLZ35NO2uJuv1MV3+dJYzj9FBt2VnzDD2b/deqAeXgXSwn6NW+S0ecZ"
    "fkYc9fyrpWD4OAWmBftplsgk9+ISl5U3bk4U98IwL5HwYC7+Y+ka5OaCefvxpjhgAeIkOv6c9z/Ep2ikvbChvG7Y"
    "VaVT4FaA97dM24AULRQHmkC/RLHhaMGn9tSTO3NZKkbl1ntgaXxv5b3nwu8J7oJR791fHAxh3iAK2+i8bEASkQ21"
    "R7D/ptQZYI3fgubxuDFn/bPMFLWen8WVmH9Va8jaia2tH27lZuOc4ya3XGzYaBUzPYC+1IYGYUq2bQ037sQgelwr"
    "qGXxOYF6lD3BbU/tCUlyXoFgCaOPWCo5VaVwXodgEA61jjjyAn9iQsx3EL5OUlrlqMC+5aa8wKwsMe2mE1pNZflL"
    "4dorm/fl/oBuC13XvrsT5OG/JW1OyG2mYWe+uamlxw0lYryiGtvwcQZKGCgH+LmdiOWluwq+YkUxx1VCK7cNcwTi"
    "nj1o9BYnbysOFlHUv2hE/LCcTd2T2BZUAXgxQ/62oqwuRfkzXXtQF4cv4rOMeVVNIdJB0YunoaVocYjv5yZubg/I"
    "sAkJBm2CspQTYyvWfRyOCfMrLDPknIHCRF5stPlObGsYmGJcNL0WBgmtQqFKE0CdTNGNIS9pxXzwkhDVortulWbm"
    "0qha0Ry7A5rshj2H52tUCuMuApq8afB0Yqz4UzW8CfgpVhEr94Urcc3f2wRODXoRK33OWCEH1zURzNOeWcpZHIrV"
    "yxuMlA18E/WEZukckhD3S2LsVHrE9U4yKZ9fssG6iY1FCb8nL7om7De3ZUMXbABTMGIAzDG5uYkUFSUy1kZ3Lmjd"
    "nWoXg+WDRkTfytDA1gwDoUMPSSE689JKdnxpViKjMQjsBmYY09JTorE7OL35Nt527tOR4jOVD8UEh3lJOq1/Uozw"
    "7ZI4MTbc1cphxl09y79GdkVwcfEhI9owBV4nrvmP11nV/cjJFI6UAbdY40ir+7lwKTQh9rbBTFDs4lQkYKAcFGZU"
    "/+ZePAbSdnlZBr3/ZqqhbpLJZu38eOXC8NfgWboOPuM="
)
HYBRID_SECRET = bytes.fromhex("269e25f1542a7faec607b54a223705a2f5add64bbdfc64e7a097fa49629a293e")
HYBRID_MESSAGES_SHA256 = [
    "cc5525ba6bb0cb5175af17b98c14818624695b22ae01a5f0ad1f58fd73cd1020",
    "2189475ccb15f17f64e4285e19bd30aa838abf55dd96f0be3968a7625c7d2ad4",
    "42fd1cd5576543315219028e08a2e1f4a260ac88f09595a0fde3d78f050ddc34",
]
HYBRID_HASH = bytes.fromhex("5369d51d51da41591f9022bbef4110bc2fc0b9ba93ae4c370398db68d1afc759")
HYBRID_KEYS = [
    bytes.fromhex("455e12cd0be188fe094280e7da2bc98508f258fbc27eb65c10f0b25405532ccc"),
    bytes.fromhex("2893172410d591e1ddc90800e69d9c179c230eeb488942cf859c9891eafdf039"),
]
