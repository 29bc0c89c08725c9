-- The stacks of the made-up polls: three ways into each function.
INSERT INTO stacks (stack_id, frames, seen)
SELECT
    sipHash64(service_no, function_no, way),
    [
        'libc::read',
        'std::sys::fs::File::read',
        concat('dep_', toString(function_no % 12), '::io::work'),
        concat('app_', toString(service_no), '::handlers::handler_', toString(function_no)),
        concat('app_', toString(service_no), '::router::route_', toString(way)),
        'hyper::proto::h1::dispatch::Dispatcher::poll_inner',
        'tokio::runtime::task::harness::Harness::poll',
        'tokio::runtime::scheduler::multi_thread::worker::Context::run',
        'std::sys::thread::Thread::start'
    ],
    {end:DateTime('UTC')}
FROM
(
    SELECT
        intDiv(number, 3) % {services:UInt64} AS service_no,
        intDiv(intDiv(number, 3), {services:UInt64}) AS function_no,
        number % 3 AS way
    FROM numbers(intDiv({functions:UInt64}, {services:UInt64}) * {services:UInt64} * 3)
)
