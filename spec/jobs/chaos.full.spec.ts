/**
 * A run over a queue with a few mishaps; chaos.soak.spec.ts makes many more.
 */
import { stateChaos } from './chaos_law.ts'

stateChaos({ kills: 3, restarts: 1, cuts: 1 })
