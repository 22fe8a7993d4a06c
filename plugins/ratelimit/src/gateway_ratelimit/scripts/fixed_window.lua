-- gateway_ratelimit/algorithms/fixed_window.py. ARGV[2]: the limit, ARGV[3]: the window in ticks.
local limit, window = tonumber(ARGV[2]), tonumber(ARGV[3])
local ends, used, is_corrected = now + window, 0, false
local stored = redis.call('GET', key)
if stored then
    local stored_ends, stored_used = cmsgpack.unpack(stored)
    if stored_ends > now then
        is_corrected = stored_ends > ends
        ends, used = math.min(stored_ends, ends), stored_used
    end
end

if cost > 0 and used + cost > limit then
    if is_corrected then
        keep(cmsgpack.pack(ends, used), ends)
    end
    return {0, math.max(0, limit - used), ends - now, ends - now}
end
used = math.max(0, used + cost)
keep(cmsgpack.pack(ends, used), ends)
return {1, limit - used, ends - now, 0}
