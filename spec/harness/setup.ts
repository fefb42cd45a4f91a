/**
 * Before each spec file: its properties get the seed of the run, also those stated without `law`, and it gets a temporary
 * folder. A worker makes thousands of backends beside all modules of the suite: their memories are used again, whatever their size.
 */
import { expect, inject } from 'vitest'
import { idleMemories } from '../../src/backends/wasm/engine.ts'
import { forgetCalls } from './known_calls.ts'
import { configureProperties } from './seed.ts'
import { useOwnFolder } from './temporary.ts'

Object.assign(idleMemories, { most: 4, pages: 8192 })
configureProperties()
forgetCalls()
useOwnFolder(inject('temporaryFolder'), expect.getState().testPath ?? '')
