/**
 * A run over a queue with many failures, in a few minutes.
 */
import { stateChaos } from './chaos_law.ts'

stateChaos({ kills: 50, restarts: 5, cuts: 10 })
