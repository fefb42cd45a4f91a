/**
 * Opens a store by its address: a folder, or s3://bucket/prefix.
 */
import { folderPlace } from './folder_place.ts'
import { parseS3Url, s3Place } from './s3_place.ts'
import { JobStore } from './job_store.ts'

/**
 * Opens a store and creates it if it is missing.
 * @throws UsageError SHARD_PLACE for a malformed address; MissingError PACKAGE_MISSING if the S3 package is missing;
 *   JobError SHARD_STORE if it cannot be used
 */
export async function openJobStore(place: string): Promise<JobStore> {
  const address = parseS3Url(place)
  return new JobStore(address ? await s3Place(address) : await folderPlace(place))
}
