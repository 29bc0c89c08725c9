-- Whether a stack is stored: reads the granule that its key is in.
SELECT count() > 0
FROM stacks
WHERE stack_id = {stack_id:UInt64}
