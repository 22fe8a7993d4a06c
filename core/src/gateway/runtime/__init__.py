"""The running gateway: generations, listeners, workers, supervision, reload, drain."""
