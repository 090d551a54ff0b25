-- What wrk counted, on one line for wrk.py.
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        'FOREBAY {"requests": %d, "duration_us": %d, "status": %d, "connect": %d, "read": %d, "write": %d, ' ..
        '"timeout": %d, "p50_us": %d, "p99_us": %d, "p999_us": %d}\n',
        summary.requests, summary.duration, errors.status, errors.connect, errors.read, errors.write,
        errors.timeout, latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
