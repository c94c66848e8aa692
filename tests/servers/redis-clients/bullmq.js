// BullMQ for tests: bullmq.js PORT QUEUE PREFIX PACKAGE, where PACKAGE is bullmq or bullmq5.
// Reads one command a line and replies with one line of JSON:
//   add N, delay N MS, prioritise N PRIORITY   adds jobs
//   take N       a worker's next jobs; they stay active until this program ends, and after
//   pause, resume
//   counts       what BullMQ counts
const readline = require("node:readline");

const [port, name, prefix, library] = process.argv.slice(2);
const { Queue, Worker } = require(library);

const connection = { host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: null };
const queue = new Queue(name, { connection, prefix });
// Without a processor, jobs are taken by hand.
const worker = new Worker(name, null, { connection, prefix, lockDuration: 600_000 });

const commands = {
    add: (n) => many(n, {}),
    delay: (n, delay) => many(n, { delay }),
    prioritise: (n, priority) => many(n, { priority }),
    async take(n) {
        let taken = 0;
        for (let i = 0; i < n; i++) {
            const job = await worker.getNextJob(`test-${i}`, { block: false });
            taken += job ? 1 : 0;
        }
        return taken;
    },
    pause: () => queue.pause(),
    resume: () => queue.resume(),
    counts: () => queue.getJobCounts("wait", "paused", "prioritized", "delayed", "active"),
};

async function many(n, opts) {
    await queue.addBulk(Array.from({ length: n }, (_, i) => ({ name: "job", data: { i }, opts })));
}

(async () => {
    for await (const line of readline.createInterface({ input: process.stdin })) {
        const [command, ...numbers] = line.split(" ");
        const reply = await commands[command](...numbers.map(Number));
        console.log(JSON.stringify(reply ?? null));
    }
    process.exit(0);
})();
