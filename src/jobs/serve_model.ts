/**
 * The body of a thread that runs jobs: it opens a model, then runs the jobs it is given.
 */
import { createBackend } from '../backends/select.ts'
import { parseOptConfig } from '../engine/config.ts'
import { OptModel } from '../engine/opt_model.ts'
import { openModelFolder } from '../io/load.ts'
import type { ThreadStart } from './model_threads.ts'
import type { DoShard } from './shard.ts'
import type { ShardModel } from './shard_model.ts'
import { serveShards } from './shard_threads.ts'

/** Serves jobs in this thread. @param makeDoShard what runs them with the model that was opened */
export function serveModel(makeDoShard: (model: ShardModel) => DoShard): void {
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
}
