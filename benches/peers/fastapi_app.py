"""The same job written plainly in Python: check the signature over the body, append to Kafka, answer when it is acknowledged."""
import hashlib
import hmac
import os
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, Request, Response

SECRET = os.environ["PEER_SECRET"].encode()
TOPIC = os.environ["PEER_TOPIC"]


@asynccontextmanager
async def lifespan(app):
    app.state.producer = AIOKafkaProducer(
        bootstrap_servers=os.environ["PEER_BROKERS"], acks="all", enable_idempotence=True, linger_ms=1)
    await app.state.producer.start()
    yield
    await app.state.producer.stop()


app = FastAPI(lifespan=lifespan)


@app.post("/webhooks/bench")
async def webhook(request: Request):
    body = await request.body()
    expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("x-hub-signature-256", "")):
        return Response(status_code=401)
    await app.state.producer.send_and_wait(TOPIC, body)
    return Response(status_code=200)
