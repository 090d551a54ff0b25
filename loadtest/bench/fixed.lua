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

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "done.lua")
