"""JSON Web Tokens for Gateway: keys inline, from files or by JWKS, several issuers, a cache of verified tokens."""
