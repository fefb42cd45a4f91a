/**
 * Helper threads end when their pool does, at any moment of their start.
 *
 * Tests src/backends/wasm/thread_pool.ts and src/backends/wasm/thread_worker.ts.
 */
import { stateLaw } from '../../harness/seed.ts'
import { endByThemselves, right } from './pool_ends.ts'

stateLaw(endByThemselves, right)
