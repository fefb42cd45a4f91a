/**
 * A store by its place as people write it: a folder, or s3://bucket/prefix.
 */
import { folderPlace } from './folder_place.ts'
import { parseS3Url, s3Place } from './s3_place.ts'
import { ShardStore } from './shard_store.ts'

/**
 * Opens the store of a place, and makes it where there is none.
 * @throws UsageError SHARD_PLACE for an address that is none; MissingError SHARD_PACKAGE without what S3 needs;
 *   ShardError SHARD_STORE if it cannot be used
 */
export async function openShardStore(place: string): Promise<ShardStore> {
  const address = parseS3Url(place)
  return new ShardStore(address ? await s3Place(address) : await folderPlace(place))
}
