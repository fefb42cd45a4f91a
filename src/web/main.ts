/**
 * The page: an engine in a thread of its own, and what the page shows of it.
 */
import { pageDocument } from '../platform/platform.ts'
import { RemoteOpt } from './engine/remote_opt.ts'
import { startEngine } from './engine/start_engine.ts'

const { line } = startEngine()
const opt = await RemoteOpt.fromPretrained(line, 'embedded')
for await (const event of opt.study('Once upon a time'))
  if (event.kind === 'step') pageDocument().body.append(event.text)
