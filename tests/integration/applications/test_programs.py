"""Real programs as trees, moved under load around the ring with a client that checks every answer: the client is in
the tree, so that both ends of each connection move.

    tests/one programs Programs.test_nginx
"""
import os
import hashlib
import shutil

import crxtest
from crxtest import read_text, until


class Programs(crxtest.RingTest):
    def folder(self, name):
        path = self.ring.path(name)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        os.chmod(path, 0o777)
        return path

    def start(self, name, script):
        """Starts a shell that runs `script` in a folder of its own; its output goes to NAME/out. Returns it when it
        has printed "go"."""
        self.dir = self.folder(name)
        self.out = f"{self.dir}/out"
        process = self.ring[0].spawn(["/bin/bash", "-c", script], stdout=self.out, cwd=self.dir, env={
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})
        self.addCleanup(self.end, self.dir)
        until(lambda: "go\n" in read_text(self.out, "") or not process.alive(), f"{name} has started", 60)
        self.assertTrue(process.alive(), f"{name}: {read_text(self.out, '')}")
        return process

    def end(self, folder):
        """Removes what a failed test has left behind, which would disturb the next one."""
        for host in self.ring.hosts:
            for pid in host.pids():
                try:
                    inside = os.readlink(host.proc(pid, "cwd")).startswith(folder)
                except OSError:
                    continue
                if inside:
                    host.run(["kill", "-9", str(pid)], check=False)

    def travel(self, process, *options):
        for move in range(crxtest.MOVES):
            process, _ = self.move(process, self.ring[move + 1], "--tcp-established", *options)
            self.assertTrue(process.alive(), f"died in move {move + 1}: {read_text(self.out, '')}")
        return process

    def stop(self):
        """Tells the program that its work is done."""
        open(f"{self.dir}/stop", "w").close()

    def finish(self, process, timeout=60):
        process.wait_end(timeout)
        return read_text(self.out)

    def test_nginx(self):
        conf = """
daemon off; master_process on; worker_processes 2; pid nginx.pid; error_log error.log;
events { worker_connections 256; }
http { access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
       server { listen 127.0.0.1:8080; location / { root www; } } }
"""
        script = f"""
mkdir www; head -c 2000 /dev/urandom > www/file
cat > nginx.conf <<'END'
{conf}END
nginx -p "$PWD" -c nginx.conf & server=$!
until exec 3<>/dev/tcp/127.0.0.1/8080; do sleep 0.05; done 2>/dev/null; exec 3>&-
wrk -t2 -c16 -d600s --timeout 5s http://127.0.0.1:8080/file > wrk.out & client=$!
sleep 0.5; echo go
until [ -e stop ]; do sleep 0.05; done
kill -INT $client; wait $client; echo "wrk $?"
kill -QUIT $server; wait $server; echo "nginx $?"
"""
        process = self.travel(self.start("nginx", script))
        self.stop()
        text = self.finish(process)
        report = read_text(f"{self.dir}/wrk.out")
        self.assertIn("wrk 0", text)
        self.assertIn("nginx 0", text, read_text(f"{self.dir}/error.log", ""))
        self.assertRegex(report, r"[1-9]\d* requests in")
        self.assertNotRegex(report, "Socket errors|Non-2xx")

    def test_redis(self):
        script = """
redis-server --port 6390 --bind 127.0.0.1 --appendonly yes --save '' --dir "$PWD" --daemonize no > redis.log & server=$!
until redis-cli -p 6390 ping 2>/dev/null | grep -q PONG; do sleep 0.05; done
redis-cli -p 6390 debug populate 100000 key 200 > /dev/null
i=0
(while [ ! -e stop ]; do i=$((i+1)); echo "SET n:$i $i"; echo "GET n:$i"; sleep 0.001; done; echo "GET last") \
  | redis-cli -p 6390 > answers & client=$!
sleep 0.5; echo go
while [ ! -e stop ]; do sleep 0.05; done
wait $client; echo "client $?"
redis-cli -p 6390 dbsize
redis-cli -p 6390 bgrewriteaof > /dev/null
redis-cli -p 6390 shutdown nosave; wait $server; echo "redis $?"
"""
        process = self.travel(self.start("redis", script))
        until(lambda: len(read_text(f"{self.dir}/answers").split("\n")) > 250, "answers, however slow the machine is")
        self.stop()
        text = self.finish(process)
        answers = read_text(f"{self.dir}/answers").split("\n")
        self.assertIn("client 0", text)
        self.assertIn("redis 0", text, read_text(f"{self.dir}/redis.log"))
        pairs = list(zip(answers[0::2], answers[1::2]))[:-1]
        self.assertGreater(len(pairs), 100)
        for number, (ok, value) in enumerate(pairs, 1):
            self.assertEqual((ok, value), ("OK", str(number)))

    def test_postgres(self):
        script = """
bin=$(echo /usr/lib/postgresql/*/bin); PATH=$bin:$PATH
run() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
run initdb -D data -A trust --no-sync > initdb.log 2>&1 || exit 8
run postgres -D data -c listen_addresses=127.0.0.1 -c port=5499 -c unix_socket_directories="$PWD" > server.log 2>&1 & server=$!
until pg_isready -q -h 127.0.0.1 -p 5499; do sleep 0.1; done
pgbench -q -i -s 2 -h 127.0.0.1 -p 5499 -U postgres postgres > init.log 2>&1 || exit 7
until_stop() { until [ -e stop ]; do "$@" || return; done; }
until_stop pgbench -n -c 10 -T 5 -h 127.0.0.1 -p 5499 -U postgres postgres > tcp.log 2>&1 & tcp=$!
until_stop pgbench -n -c 10 -T 5 -S -h "$PWD" -p 5499 -U postgres postgres > unix.log 2>&1 & unix=$!
sleep 1; echo go
wait $tcp; echo "tcp $?"; wait $unix; echo "unix $?"
psql -qAt -h "$PWD" -p 5499 -U postgres postgres -c \
  "select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)"
pg_amcheck -h "$PWD" -p 5499 -U postgres --install-missing --heapallindexed postgres > amcheck.log 2>&1; echo "amcheck $?"
run pg_ctl -D data -m fast -w stop > stop.log; wait $server; echo "postgres $?"
"""
        process = self.travel(self.start("postgres", script), "--file-locks", "--ghost-limit", "64M")
        self.stop()
        text = self.finish(process)
        logs = "".join(read_text(f"{self.dir}/{name}.log", "") for name in ("tcp", "unix", "server"))
        self.assertIn("tcp 0", text, logs)
        self.assertIn("unix 0", text, logs)
        self.assertIn("\nt\n", text, logs)
        self.assertIn("amcheck 0", text, read_text(f"{self.dir}/amcheck.log", ""))
        self.assertIn("postgres 0", text, logs)
        self.assertNotRegex(read_text(f"{self.dir}/tcp.log") + read_text(f"{self.dir}/unix.log"), "ERROR|FATAL|aborted")

    def test_shell_pipeline(self):
        script = """
echo go
numbers() { n=0; until [ -e stop ]; do seq $((n + 1)) $((n + 20000)); n=$((n + 20000)); done; echo $n > count; }
numbers | while read -r n; do echo $((n * 3)); done | sort -n | md5sum
echo "pipe ${PIPESTATUS[*]}"
"""
        process = self.travel(self.start("pipeline", script))
        self.stop()
        text = self.finish(process, 120)
        self.assertIn("pipe 0 0 0 0", text)
        count = int(read_text(f"{self.dir}/count"))
        wanted = hashlib.md5("".join(f"{n * 3}\n" for n in range(1, count + 1)).encode()).hexdigest()
        self.assertIn(wanted, text)

    def test_make_and_gcc(self):
        script = """
for i in $(seq 1 24); do printf '#include <stdio.h>\\n#include <math.h>\\nint f%d(int x){for(int i=0;i<9;i++)x=x*31+i;return x+(int)sqrt(x);}\\n' $i > f$i.c; done
printf 'all: %s\\n%%.o: %%.c\\n\\tgcc -O2 -c $< -o $@\\n' "$(for i in $(seq 1 24); do echo -n "f$i.o "; done)" > Makefile
echo go
until [ -e stop ]; do rm -f *.o; make -s -j3 all || exit 9; done
echo "make $?"; cat *.o | md5sum
"""
        process = self.travel(self.start("make", script))
        self.stop()
        text = self.finish(process, 120)
        self.assertIn("make 0", text)

    def test_node(self):
        script = """
cat > app.js <<'END'
const net = require('net'), fs = require('fs'), { Worker } = require('worker_threads');
let answers = 0, bad = 0, worked = 0, ticks = 0;
// Two threads that count and answer; a timer of each kind.
const threads = [3, 7].map(factor => {
  const w = new Worker('const { parentPort, workerData } = require("worker_threads"); let s = 0;' +
    'parentPort.on("message", n => { for (let i = 0; i < 20000; i++) s = (s + i) % 65537; parentPort.postMessage([n, n * workerData]); })',
    { eval: true, workerData: factor });
  let n = 0;
  w.on('message', ([asked, got]) => { if (asked !== n || got !== n * factor) bad++; worked++; setImmediate(() => w.postMessage(++n)); });
  w.on('error', e => { console.log('error ' + e); process.exit(5); });
  w.postMessage(++n);
  return w;
});
setInterval(() => ticks++, 7);
const server = net.createServer(s => s.on('data', d => s.write(String(Number(d) * 2) + '\\n')));
server.listen(8090, '127.0.0.1', () => {
  const c = net.connect(8090, '127.0.0.1'); let n = 0;
  const ask = () => c.write(String(++n));
  c.on('data', d => { if (Number(d) !== n * 2) bad++; answers++; setTimeout(ask, 1); });
  c.on('error', e => { console.log('error ' + e); process.exit(3); });
  ask(); console.log('go');
});
const timer = setInterval(() => { if (fs.existsSync('stop')) { clearInterval(timer); console.log('answers ' + answers + ' bad ' + bad + ' worked ' + (worked > 100) + ' ticks ' + (ticks > 10)); process.exit(bad ? 4 : 0); } }, 20);
END
node app.js; echo "node $?"
"""
        process = self.travel(self.start("node", script))
        self.stop()
        text = self.finish(process)
        self.assertIn("node 0", text)
        self.assertRegex(text, r"answers [1-9]\d+ bad 0 worked true ticks true")

    def test_python_multiprocessing(self):
        script = """
cat > app.py <<'END'
import multiprocessing as mp, os, time
from multiprocessing import shared_memory

def square(n):
    time.sleep(0.001)
    return n, n * n

def echo(questions, answers, name):
    memory = shared_memory.SharedMemory(name)
    while (n := questions.get()) is not None:
        memory.buf[n % 4096] = n % 251
        answers.put((os.getpid(), n))
    memory.close()

if __name__ == '__main__':
    memory = shared_memory.SharedMemory(create=True, size=4096)
    questions, answers, locked = mp.Queue(), mp.Queue(), mp.Value('q', 0)
    echoes = [mp.Process(target=echo, args=(questions, answers, memory.name)) for _ in range(2)]
    for e in echoes: e.start()
    bad = rounds = asked = 0
    with mp.Pool(3) as pool:
        print('go', flush=True)
        while not os.path.exists('stop'):
            for n, squared in pool.imap_unordered(square, range(60), chunksize=4): bad += squared != n * n
            for _ in range(50):
                questions.put(asked)
                asked += 1
            got = sorted(answers.get(timeout=60)[1] for _ in range(50))
            bad += got != list(range(asked - 50, asked))
            bad += any(memory.buf[n % 4096] != n % 251 for n in range(asked - 50, asked))
            with locked.get_lock(): locked.value += 1
            rounds += 1
    for e in echoes: questions.put(None)
    for e in echoes: e.join()
    bad += locked.value != rounds or any(e.exitcode for e in echoes)
    memory.close(); memory.unlink()
    print('rounds', rounds > 2, 'bad', bad, flush=True)
END
/usr/bin/python3 app.py; echo "python $?"
"""
        process = self.travel(self.start("multiprocessing", script))
        self.stop()
        text = self.finish(process)
        self.assertIn("rounds True bad 0", text)
        self.assertIn("python 0", text)


if __name__ == "__main__":
    crxtest.main()
