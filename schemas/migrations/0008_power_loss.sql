-- What a merge or a mutation makes replaces parts that were fsynced, and is not fsynced unless told so. ClickHouse therefore
-- keeps the replaced ones for 8 minutes, in the hope that the kernel has written the new one by then; some builds delete
-- them at once, and a power cut then takes rows that were stored long ago. Both are set: the fsync is what is relied on.
ALTER TABLE forebay.events ${ON_CLUSTER} MODIFY SETTING
    old_parts_lifetime = 480, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_fetch = 1;

ALTER TABLE forebay.blocks ${ON_CLUSTER} MODIFY SETTING
    old_parts_lifetime = 480, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_fetch = 1;
