/**
 * The thread of threads.ts: opens a model, then does the shards it is given.
 */
import { createBackend } from '../../backends/select.ts'
import { openModelFolder } from '../../io/load.ts'
import { serveShards } from '../../jobs/shard_threads.ts'
import { parseOptConfig } from '../../model/opt/config.ts'
import { OptModel } from '../../model/opt/opt_model.ts'
import { makeDoShard } from './do_shard.ts'
import type { ThreadStart } from './threads.ts'

serveShards(async (start) => {
  const { path, backend, hash, method } = start as ThreadStart
  const folder = await openModelFolder(path)
  try {
    const config = parseOptConfig(folder.configJson)
    const model = await OptModel.load(config, folder.source, await createBackend(backend))
    return makeDoShard({ model, hash, method })
  } finally {
    await folder.source.close()
  }
})
