-- gateway_ratelimit/algorithms/token_bucket.py. ARGV[2]: the interval of a token, ARGV[3]: the capacity, in ticks.
local interval, capacity = tonumber(ARGV[2]), tonumber(ARGV[3])
local limit = now + capacity
local stored = tonumber(redis.call('GET', key) or now)
local full_at = math.min(math.max(stored, now), limit)
local taken = math.max(now, full_at + cost * interval)

if taken > limit then
    if stored > limit then
        keep(string.format('%.4f', limit), limit)
    end
    return {0, math.floor((limit - full_at) / interval), math.ceil(full_at - now), math.ceil(taken - limit)}
end
if full_at > now or cost > 0 then
    keep(string.format('%.4f', taken), taken)
end
return {1, math.floor((limit - taken) / interval), math.ceil(taken - now), 0}
