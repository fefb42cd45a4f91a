/**
 * Opens a store by its address: a folder, or s3://bucket/prefix.
 */
import { folderPlace } from './folder_place.ts'
import { parseS3Url, s3Place } from './s3_place.ts'
import { ShardStore } from './shard_store.ts'

/**
 * Opens a store and creates it if it is missing.
 * @throws UsageError SHARD_PLACE for a malformed address; MissingError SHARD_PACKAGE if the S3 package is missing;
 *   ShardError SHARD_STORE if it cannot be used
 */
export async function openShardStore(place: string): Promise<ShardStore> {
  const address = parseS3Url(place)
  return new ShardStore(address ? await s3Place(address) : await folderPlace(place))
}
