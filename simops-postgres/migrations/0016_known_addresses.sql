-- Addresses from which a token was right, as hashes of token and address.

CREATE TABLE known_addresses (
    id      TEXT PRIMARY KEY,
    seen_at TIMESTAMPTZ NOT NULL
);
