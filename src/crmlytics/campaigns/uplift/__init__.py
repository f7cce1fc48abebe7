"""Who is moved by a contact: models, their Qini, and whether the arms can be compared at all."""
