"""What a user writes, validated: pydantic lives only here."""
