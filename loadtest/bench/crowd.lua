-- A crowd: the requests of a file, one after another, every event with an id of its own; each pass with other addresses.
-- A request has as many parts as ids and two more: up to the address's number, up to the first id, between ids, the
-- rest. NUL stands behind each part. Arguments: the file, ids a request, a seed.
local parts, ids, at, pass = {}, 0, 1, 1

function init(args)
    local file = assert(io.open(args[1], "rb"))
    for part in file:read("*a"):gmatch("([^%z]*)%z") do parts[#parts + 1] = part end
    file:close()
    ids = tonumber(args[2])
    math.randomseed(tonumber(args[3]))
end

local function id()
    local random = math.random
    return string.format("%04x%04x-%04x-4%03x-%04x-%04x%04x%04x", random(0, 65535), random(0, 65535),
        random(0, 65535), random(0, 4095), random(32768, 49151), random(0, 65535), random(0, 65535), random(0, 65535))
end

function request()
    local text = {parts[at], pass}
    for more = 1, ids do
        text[#text + 1] = parts[at + more]
        text[#text + 1] = id()
    end
    text[#text + 1] = parts[at + ids + 1]
    at = at + ids + 2
    if at > #parts then at, pass = 1, pass + 1 end
    return table.concat(text)
end

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "done.lua")
