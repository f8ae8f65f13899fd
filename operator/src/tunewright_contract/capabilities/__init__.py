"""What there is to choose from: one table for each kind of name that several rooms must agree on, one row of facts for each name.

A name of the API stands here and nowhere else. Rooms read the facts of a row; they do not compare names. `make check` refuses such a
literal elsewhere (tools/names.py). Derived from the tables are the types and enumerations of API and contract, the lists in CEL rules,
what is "not supported yet", and docs/capabilities.md.
"""
