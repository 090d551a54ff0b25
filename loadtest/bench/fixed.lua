-- One fixed POST again and again; its body is in the file named first, its headers in the second, a line each.
function init(args)
    wrk.method = "POST"
    local file = assert(io.open(args[1], "rb"))
    wrk.body = file:read("*a")
    file:close()
    for line in io.lines(args[2]) do
        local name, value = line:match("^([^:]+): (.*)$")
        wrk.headers[name] = value
    end
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        'FOREBAY {"requests": %d, "duration_us": %d, "status": %d, "connect": %d, "read": %d, "write": %d, ' ..
        '"timeout": %d, "p50_us": %d, "p99_us": %d, "p999_us": %d}\n',
        summary.requests, summary.duration, errors.status, errors.connect, errors.read, errors.write,
        errors.timeout, latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
