/**
 * A run over a queue with a few failures; chaos.soak.spec.ts causes many more.
 */
import { stateChaos } from './chaos_law.ts'

stateChaos({ kills: 3, restarts: 1, cuts: 1 })
