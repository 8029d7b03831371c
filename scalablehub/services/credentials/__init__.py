"""Short-lived keys for the buckets that a user may have, in the protocol that S3 clients already speak.

* Who asks is told by the token of a server alone, and by what the hub says of that server at this moment.
* What they get opens what `decide()` gives them, in the words of one policy document that the store enforces.
* Nothing secret is ever logged; who got what, and until when, always is.
"""
