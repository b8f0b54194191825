"""Stands for kubeseal: another text each time, and nothing of what was given but its name."""

import secrets
import sys

import yaml

secret = yaml.safe_load(sys.stdin)
sealed = {"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": secret["metadata"]}
sealed["spec"] = {"encryptedData": {key: secrets.token_hex(40) for key in secret["stringData"]}}
sys.stdout.write(yaml.safe_dump(sealed))
