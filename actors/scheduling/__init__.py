"""When things run: cron expressions and the tick."""
