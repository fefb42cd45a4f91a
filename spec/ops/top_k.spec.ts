/**
 * top_k keeps the best, and is the same choice on every backend: ties go to the lower index.
 */
import * as laws from '../harness/laws/top_k.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
