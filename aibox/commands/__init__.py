"""The verbs: each module has `run(context, arguments) -> Outcome` (or an exit code, for sessions)."""
