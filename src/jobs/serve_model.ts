/**
 * The body of a thread that runs jobs: it opens a model, then runs the jobs it is given.
 */
import { createBackend } from '../backends/select.ts'
import { parseConfig } from '../engine/config.ts'
import { LanguageModel } from '../engine/language_model.ts'
import { openModelFolder } from '../io/load.ts'
import type { ThreadStart } from './model_threads.ts'
import type { DoJob } from './job.ts'
import type { JobModel } from './job_model.ts'
import { serveJobs } from './job_threads.ts'

/** Serves jobs in this thread. @param makeDoJob what runs them with the model that was opened */
export function serveModel(makeDoJob: (model: JobModel) => DoJob): void {
  serveJobs(async (start) => {
    const { path, backend, hash, method } = start as ThreadStart
    const folder = await openModelFolder(path)
    try {
      const config = parseConfig(folder.configJson)
      const model = await LanguageModel.load(config, folder.source, await createBackend(backend))
      return makeDoJob({ model, hash, method })
    } finally {
      await folder.source.close()
    }
  })
}
