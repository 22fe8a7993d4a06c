-- gateway_ratelimit/algorithms/sliding_window.py. ARGV[2]: the limit, ARGV[3]: the window in ticks.
local limit, window = tonumber(ARGV[2]), tonumber(ARGV[3])
local fresh_at, current, earlier, is_corrected = now + 2 * window, 0, 0, false
local stored = redis.call('GET', key)
if stored then
    local stored_fresh_at, stored_current, stored_earlier = cmsgpack.unpack(stored)
    if stored_fresh_at > now then
        if stored_fresh_at - window <= now then
            fresh_at, earlier = stored_fresh_at + window, stored_current
        else
            is_corrected = stored_fresh_at > fresh_at
            fresh_at, current, earlier = math.min(stored_fresh_at, fresh_at), stored_current, stored_earlier
        end
    end
end

local left = fresh_at - window - now
local weighted = earlier * left + current * window
local used = math.ceil(weighted / window)
if cost > 0 and weighted + cost * window > limit * window then
    if is_corrected then
        keep(cmsgpack.pack(fresh_at, current, earlier), fresh_at)
    end
    local free, reset, wait = limit - cost, left, 0
    if current > 0 then
        reset = fresh_at - now
    end
    if current <= free then
        wait = left - math.floor((free - current) * window / earlier)
    else
        wait = left + window - math.floor(free * window / current)
    end
    return {0, math.max(0, limit - used), reset, wait}
end
current = math.max(0, current + cost)
keep(cmsgpack.pack(fresh_at, current, earlier), fresh_at)
return {1, limit - used - cost, fresh_at - now, 0}
