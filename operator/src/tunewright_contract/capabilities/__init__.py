"""The capability tables: one table for each kind of name that several rooms use, with one row of facts per name.

A name of the API is written only here. Rooms read the facts of a row and do not compare names. `make check` refuses such a
literal elsewhere (tools/names.py). Derived from the tables are the types and enumerations of API and contract, the lists in CEL rules,
what is "not supported yet", and docs/capabilities.md.
"""
