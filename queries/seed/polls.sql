-- How many polls there are.
SELECT count() FROM poll_spans
