-- Begins every script. The server's clock counts, in microseconds since 2025-06-15: several gateways share one time,
-- and the numbers stay small enough for a double to know sixteenths of a microsecond for 17 years.
-- KEYS[1]: whose quota. ARGV[1]: the cost; a negative one is given back.
-- Returns: allowed (1 or 0), remaining, ticks until whole again, ticks until the next try.
local time = redis.call('TIME')
local now = (time[1] - 1750000000) * 1000000 + time[2]
local key = KEYS[1]
local cost = tonumber(ARGV[1])

local function keep(value, fresh_at)
    redis.call('SET', key, value, 'PX', math.max(1, math.ceil((fresh_at - now) / 1000)))
end

